# Makes files with holes of what busybox's tar restored of them: expand.sh DIRECTORY
find "$1" -depth -type d -name GNUSparseFile.0 -exec sh -c '
  cd "$1" || exit
  for piece in ./* ./.*; do
    [ -f "$piece" ] || continue
    file=../$piece
    lines=$(($(head -n 1 "$piece") * 2 + 1))
    at=$((($(head -n $lines "$piece" | wc -c) + 511) / 512 * 512))
    : >"$file"
    head -n $lines "$piece" | tail -n +2 | while read -r offset && read -r length; do
      truncate -s $((offset + length)) "$file"
      dd if="$piece" of="$file" bs=64k skip=$at seek=$offset count=$length \
        iflag=skip_bytes,count_bytes oflag=seek_bytes conv=notrunc status=none
      at=$((at + length))
    done
    chown "$(stat -c %u:%g "$piece")" "$file"
    chmod "$(stat -c %a "$piece")" "$file"
    touch -r "$piece" "$file"
    rm "$piece"
  done
  rmdir ../GNUSparseFile.0' - {} \;
