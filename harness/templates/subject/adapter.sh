#!/bin/sh
# A toy store behind the conformance protocol, version 1: put your own store's calls in its verbs.
# `adapter.sh call VERB` reads one request from standard input. The toy keeps archives in a
# directory, and a view is what tar(1) makes of them, mounted read-only. Needs jq, gzip, GNU tar.
set -eu
umask 022

LAYER=application/vnd.oci.image.layer.v1.tar
FOREIGN=application/vnd.oci.image.layer.nondistributable.v1.tar
DOCKER=application/vnd.docker.image.rootfs.diff.tar

# refuse CODE MESSAGE [HOLDER]: exit status 10, or 11 for what is not offered.
refuse() {
    jq -n --arg code "$1" --arg message "$2" --arg holder "${3-}" \
        '{error: ({code: $code, message: ($message | gsub("\n"; " "))}
            + if $holder == "" then {} else {holder: $holder} end)}'
    if [ "$1" = unsupported ]; then exit 11; else exit 10; fi
}

# fields REQUIRED OPTIONAL: lists of name:type. Sets a variable for each field that is given, arrays
# and objects as JSON; refuses whatever is not so.
fields() {
    set=$(printf '%s' "$request" | jq -sr --arg required "$1" --arg optional "$2" '
        def table: split(" ") | map(split(":") | {key: .[0], value: .[1]}) | from_entries;
        def a_digest: type == "string" and test("\\Asha256:[0-9a-f]{64}\\z");
        ($required | table) as $needed | ($needed + ($optional | table)) as $known
        | def wrong:
            if length != 1 or (.[0] | type) != "object" then "a request is one JSON object"
            else .[0] as $given
            | ($given | keys[] | select($known[.] == null) | "unknown field \(.)"),
              ($needed | keys[] | select($given[.] == null) | "\(.) is missing"),
              ($given | to_entries[] | select(.value != null and (.value | type) != $known[.key])
                  | "\(.key) must be a \($known[.key])"),
              ($given | .store, .path, .target | strings | select(startswith("/") | not)
                  | "\(.) is no absolute path"),
              ($given | .digest, .diff_id, (.digests // [])[]
                  | select(. != null and (a_digest | not)) | "\(.) is no sha256 digest")
            end;
          [wrong] as $wrong
        | if ($wrong | length) > 0 then "refuse validation-error \($wrong[0] | @sh)"
          else .[0] | to_entries[] | select(.value != null)
            | "\(.key)=\(.value | if type == "string" then . else tojson end | @sh)"
          end' 2>/dev/null) || refuse validation-error "the request is not JSON"
    eval "$set"
}

opened() { [ -e "$store/toy-store" ] || refuse storage-error "$store is no store"; }

# a_layer DIGEST: refuses what is not there.
a_layer() { [ -e "$store/layers/$1" ] || refuse layer-not-found "no layer $1"; }

digest_of() { printf 'sha256:%s' "$(sha256sum | cut -d ' ' -f 1)"; }

# same WHAT TRUE GIVEN: refuses when something else was given.
same() { [ "$2" = "$3" ] || refuse digest-mismatch "$1 is $2, not $3"; }

add() {
    [ "${dependencies-[]}" = "[]" ] || refuse unsupported "no dependencies"
    type=${media_type-$LAYER}
    case $type in
        "$LAYER" | "$FOREIGN" | "$DOCKER") unpack=cat ;;
        "$LAYER+gzip" | "$FOREIGN+gzip" | "$DOCKER.gzip") unpack='gzip -dc' ;;
        *) refuse validation-error "no media type of a layer: $type" ;;
    esac
    [ -f "$path" ] || refuse path-error "no file $path"
    staging=$(mktemp -d "$store/staging.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    mkdir "$staging/layer"
    cat <"$path" >"$staging/blob"
    true_digest=$(digest_of <"$staging/blob")
    true_size=$(wc -c <"$staging/blob")
    same digest "$true_digest" "${digest-$true_digest}"
    same size "$true_size" "${size-$true_size}"
    whole=yes
    $unpack <"$staging/blob" >"$staging/layer/archive" || whole=no
    true_id=$(digest_of <"$staging/layer/archive")
    same diff_id "$true_id" "${diff_id-$true_id}"
    [ $whole = yes ] || refuse decompression-error "the blob is damaged"
    tar -t <"$staging/layer/archive" >/dev/null || refuse validation-error "no tar archive"
    jq -n --arg digest "$true_digest" --arg diff_id "$true_id" --arg size "$true_size" \
        --arg type "$type" '{digest: $digest, diff_id: $diff_id, size: ($size | tonumber),
          media_type: $type, dependencies: []}' >"$staging/layer/layer.json"
    layer=$store/layers/$true_digest
    [ -e "$layer" ] || mv -T "$staging/layer" "$layer"
    jq '{layer: .}' "$layer/layer.json"
}

# apply ARCHIVE ROOT: hides what the layer's whiteouts name, then unpacks the rest.
apply() {
    tar -t --quoting-style=literal <"$1" | while IFS= read -r member; do
        name=${member##*/}
        case $name in .wh.*) ;; *) continue ;; esac
        directory=$(realpath -m "$2/$(dirname "$member")")
        case $directory/ in "$2"/*) ;; *) continue ;; esac # a symlink leads out
        case $name in
            .wh..wh..opq) [ ! -d "$directory" ] || find "$directory" -mindepth 1 -delete ;;
            .wh.?*) rm -rf "${directory:?}/${name#.wh.}" ;;
        esac
    done
    tar --extract --preserve-permissions --same-owner --numeric-owner --xattrs \
        '--xattrs-include=*' '--exclude=.wh.*' --directory "$2" <"$1"
}

stack() {
    [ "${writable-false}" = false ] || refuse unsupported "no writable views"
    [ "$digests" != "[]" ] || refuse validation-error "no digests"
    # A digest that stands there more than once counts at its last place.
    digests=$(printf '%s' "$digests" | jq -r 'reverse
        | reduce .[] as $d ([]; if index($d) then . else . + [$d] end) | reverse | .[]')
    for digest in $digests; do a_layer "$digest"; done
    made=no
    case $(realpath -m "$target")/ in
        "$(realpath "$store")"/*) refuse invalid-mount-point "$target is in the store" ;;
    esac
    if [ -L "$target" ] || [ ! -d "$(dirname "$target")" ]; then
        refuse invalid-mount-point "$target is a symlink, or has no directory to be in"
    elif [ ! -e "$target" ]; then
        made=yes
    elif [ ! -d "$target" ] || [ -n "$(ls -A "$target")" ] || findmnt -n "$target" >/dev/null; then
        refuse invalid-mount-point "$target is no empty directory, or mounted"
    fi
    view=$(mktemp -d "$store/views/XXXXXX")
    mkdir "$view/root"
    for digest in $digests; do
        apply "$store/layers/$digest/archive" "$view/root" || {
            rm -rf "$view"
            refuse hostile-layer "tar does not unpack $digest"
        }
    done
    [ $made = no ] || mkdir "$target"
    mount --bind -o ro "$view/root" "$target" || {
        rm -rf "$view"
        [ $made = no ] || rmdir "$target"
        refuse mount-failed "mount --bind failed"
    }
    printf '%s' "$target" >"$view/target"
    printf '%s' "$made" >"$view/made"
    printf '%s\n' "$digests" >"$view/digests"
    jq -n --arg target "$target" --arg digests "$digests" \
        '{mount: {target: $target, digests: ($digests | split("\n")), writable: false}}'
}

# view_at TARGET: prints the directory of the view there; nothing when there is none.
view_at() {
    for one in "$store"/views/*/; do
        [ ! -e "$one/target" ] || [ "$(cat "$one/target")" != "$1" ] || printf '%s' "$one"
    done
}

# unmount TARGET
unmount() {
    view=$(view_at "$1")
    [ -n "$view" ] || refuse invalid-mount-point "no view at $1"
    if findmnt -n "$1" >/dev/null; then
        umount "$1" || refuse unmount-failed "$1 is busy" somebody
    fi
    [ "$(cat "$view/made")" = no ] || rmdir "$1"
    rm -rf "$view"
}

verb=$2
request=$(cat)
case $verb in
    info)
        fields "" ""
        echo '{"name": "@NAME@", "version": "0", "protocol": 1}'
        ;;
    open)
        none='{}'
        fields store:string "readonly:boolean limits:object zfs:string"
        [ "${readonly-false} ${limits-$none} ${zfs-}" = "false $none " ] ||
            refuse unsupported "open takes neither readonly nor limits nor zfs"
        if [ ! -e "$store/toy-store" ]; then
            mkdir -p "$store" || refuse storage-error "$store cannot be made"
            [ -z "$(ls -A "$store")" ] || refuse storage-error "$store is no store, and not empty"
            mkdir "$store/layers" "$store/views"
            : >"$store/toy-store"
        fi
        jq -n --arg store "$store" '{store: $store}'
        ;;
    close)
        fields store:string ""
        opened
        for one in "$store"/views/*/; do
            [ ! -e "$one/target" ] || unmount "$(cat "$one/target")"
        done
        echo '{}'
        ;;
    add)
        fields "store:string path:string" \
            "media_type:string digest:string size:number diff_id:string dependencies:array"
        opened
        add
        ;;
    get)
        fields "store:string digest:string" ""
        opened
        a_layer "$digest"
        jq '{layer: .}' "$store/layers/$digest/layer.json"
        ;;
    list)
        fields store:string ""
        opened
        find "$store/layers" -name layer.json -exec cat {} + | jq -s '{layers: .}'
        ;;
    remove)
        fields "store:string digest:string" ""
        opened
        holder=$(grep -lsx "$digest" "$store"/views/*/digests | head -n 1)
        if [ -n "$holder" ]; then
            refuse layer-in-use "it is mounted" "$(cat "$(dirname "$holder")/target")"
        elif [ -e "$store/layers/$digest" ]; then
            going=$(mktemp -d "$store/staging.XXXXXX")
            mv "$store/layers/$digest" "$going"
            rm -rf "$going"
            echo '{"removed": true}'
        else
            echo '{"removed": false}'
        fi
        ;;
    stack)
        fields "store:string digests:array target:string" writable:boolean
        opened
        stack
        ;;
    unmount)
        fields "store:string target:string" ""
        opened
        unmount "$target"
        echo '{}'
        ;;
    *)
        refuse unsupported "no verb $verb"
        ;;
esac
