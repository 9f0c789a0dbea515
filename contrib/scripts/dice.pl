#!/usr/bin/env perl
# Chance and the clock, as the box knows them: the same for the same input, another for another.
use strict;
use warnings;
local $/;
my $input = <STDIN> // '';
printf "%d bytes at %s, thrown: %s\n", length $input, scalar gmtime, join ' ', map { 1 + int rand 6 } 1 .. 10;
