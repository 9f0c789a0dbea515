# fish completion for zvm(1). Commands and options are asked of zvm itself.

function __zvm_commands
    zvm --help 2>/dev/null | sed -n '/^commands:/,/^$/s/^ *\([a-z]\{1,\}\)  *\([^ ].*\)/\1\t\2/p'
end

function __zvm_options
    set -l words (commandline -opc)
    zvm $words[2] --help 2>/dev/null | grep -E '^(usage:| +zvm | +-)' | grep -oE '[][ |]--?[a-z][a-z-]*' | grep -oE -- '--?[a-z][a-z-]*' | sort -u
    echo --help
end

# What a spec may begin with: scripts of the directories given so far, and the programs of the machine.
function __zvm_scripts
    set -l words (commandline -opc)
    for i in (seq 2 (math (count $words) - 1))
        if test "$words[$i]" = --scripts
            set -l directory (string replace -r '^~' $HOME -- $words[(math $i + 1)])
            for script in $directory/*
                test -f $script -a -x $script; and printf '%s\tscript\n' (path basename $script 2>/dev/null; or basename $script)
            end
        end
    end
    for directory in /usr/local/bin /usr/bin
        for program in $directory/*
            string replace -r '.*/' '' -- $program
        end
    end | sort -u
end

function __zvm_is
    set -l words (commandline -opc)
    test (count $words) -ge 2; and contains -- $words[2] $argv
end

function __zvm_previous_is
    set -l words (commandline -opc)
    contains -- $words[-1] $argv
end

function __zvm_mount_options
    set -l before (string replace -rf '[^,]*$' '' -- (commandline -ct))
    zvm mount --help 2>/dev/null | awk '/^  -o OPT,/ { sub(/.*-o OPT,[.]* /, "        "); on = 1 }
        on && /^$/ { exit }
        on && /^        / { for (i = 1; i <= NF; i++) if ($i ~ /^[a-z_]+(=[A-Za-z]+)?$/ && (i == 1 || $i ~ /=/)) { sub(/=[A-Z]+$/, "=", $i); print $i } }' | string replace -r '^' -- "$before"
end

set -l takes_path --scripts --inputs --store --out --trace
complete -c zvm -f
complete -c zvm -n 'test (count (commandline -opc)) -eq 1; or __zvm_is help' -a '(__zvm_commands)'
complete -c zvm -n 'test (count (commandline -opc)) -eq 1' -a '--help --version'
complete -c zvm -n 'string match -q -- "-*" (commandline -ct); and test (count (commandline -opc)) -gt 1' -a '(__zvm_options)'
complete -c zvm -n "__zvm_previous_is $takes_path" -F
complete -c zvm -n '__zvm_is mount; and __zvm_previous_is -o' -a '(__zvm_mount_options)'
complete -c zvm -n "__zvm_is run warm; and not __zvm_previous_is $takes_path" -a '(__zvm_scripts)'
complete -c zvm -n '__zvm_is umount stats top' -a '(findmnt -nro TARGET -t fuse.zvm 2>/dev/null)'
complete -c zvm -n 'not __zvm_is run doctor umount top help; and not __zvm_previous_is -o; and test (count (commandline -opc)) -gt 1' -F
