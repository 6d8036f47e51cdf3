#!/bin/sh
# notices.sh PYTHON FOLDER: puts the notices of those packages into FOLDER that are installed for PYTHON. They refer to
# texts of licences where Debian has them (package base-files), which other base images may not.
set -eu
python=$1 folder=$2
site_packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')

for notice in "${0%/*}"/notices/*.md; do
  package=$(basename "$notice" .md)
  [ -e "$site_packages/$package" ] || continue
  for text in GPL-2 GPL-3 LGPL-2 LGPL-2.1 LGPL-3 Apache-2.0; do
    if [ ! -s "/usr/share/common-licenses/$text" ]; then
      echo "$package cannot be in an image without the file /usr/share/common-licenses/$text: take a base of Debian's"
      exit 1
    fi
  done
  install -D -m 0644 -t "$folder" "$notice"
done
