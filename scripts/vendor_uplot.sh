#!/usr/bin/env bash
# Fetches the pinned uPlot from npm and puts what the report's page needs of it into tools/nvfp4cal/report_page.
#   vendor_uplot.sh [--check]     --check: changes nothing, fails where the committed files differ
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=1.6.32
hash=4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d
page=$root/tools/nvfp4cal/report_page
case "${1:-}" in
  "" | --check) ;;
  *) die "usage: vendor_uplot.sh [--check]" ;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/uplot.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "uplot@$version" >/dev/null
echo "$hash  uplot-$version.tgz" | sha256sum --check --quiet >&2 || die "uplot $version is not the file that was pinned"
tar xzf "uplot-$version.tgz"
cp package/LICENSE package/dist/uPlot.LICENSE
for name in uPlot.iife.min.js uPlot.min.css uPlot.LICENSE; do
  if [ "${1:-}" = --check ]; then
    cmp "$page/$name" "package/dist/$name" || die "$name is not the one of uPlot $version: run scripts/vendor_uplot.sh"
  else
    cp "package/dist/$name" "$page/$name"
  fi
done
