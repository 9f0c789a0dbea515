# A page of thumbnails of a folder of pictures. The mount does the work, and remembers it: make asks only what has changed
# in the folder, and also an empty output directory is filled without a picture being read again.
#
#     zvm mount --inputs ~/pictures mnt && make -f gallery.mk MNT=mnt PICTURES=~/pictures OUT=page
#
# The pipeline is a spec: each stage is a program of the machine, in a box of its own.
MNT ?= mnt
PICTURES ?= .
OUT ?= page
THUMBNAIL = djpeg -scale 1/8 | cjpeg -quality 80

spec = $(subst /,%2F,$(THUMBNAIL))
pictures = $(notdir $(wildcard $(PICTURES)/*.jpg))

$(OUT)/index.html: $(pictures:%=$(OUT)/%)
	printf '<!DOCTYPE html><title>Pictures</title>\n' >$@
	printf '<img src="%s">\n' $(notdir $^) >>$@

$(OUT)/%.jpg: $(PICTURES)/%.jpg
	@mkdir -p $(OUT)
	cat "$(MNT)/run/$(spec)/$*.jpg" >$@.new && mv $@.new $@
