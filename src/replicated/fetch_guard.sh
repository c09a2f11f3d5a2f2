#!/bin/sh
# Written by boot-agent for one run of the Replicated installer, in place of @PROGRAM@. This box has an image lock: what the
# lock does not name is not fetched.
wanted=@URL@
url='' output='' previous=''
for argument do
    case $previous in
        @NOT_FETCHED@) ;;
        @OUTPUT@) output=$argument ;;
        *) case $argument in http://*|https://*|ftp://*) url=$argument ;; esac ;;
    esac
    previous=$argument
done
if [ -n "$wanted" ] && [ "$url" = "$wanted" ]; then
    if [ -n "$output" ] && [ "$output" != - ]; then
        exec cp @SCRIPT@ "$output"
    fi
    exec cat @SCRIPT@
fi
case $url in
    @METADATA@) exec @REAL@ "$@" ;;
esac
printf '%s\n' "${url:-$*}" >>@REFUSED@
echo "boot-agent refused to fetch ${url:-$*}: the image lock does not name it" >&2
exit 97
