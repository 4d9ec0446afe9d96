# For the scripts beside it: sourced with the build folder as $1. Installs the tree, moves it to $prefix, and counts.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -eq 1 ] || { echo "usage: $0 <build dir>" >&2; exit 2; }
build=$(cd "$1" && pwd)
work=$(mktemp -d "$build/consumers.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Installed, then moved: nothing in the tree may depend on where it was.
cmake --install "$build" --prefix "$work/installed" >"$work/install.log" || { cat "$work/install.log"; exit 1; }
mv "$work/installed" "$work/moved"
prefix=$work/moved

passed=0
failed=0
# expect <name> <expected output> <command...>
expect() {
  local name=$1 expected=$2
  shift 2
  if "$@" >"$work/$name.out" 2>&1 && diff -u "$expected" "$work/$name.out"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED $name"
    cat "$work/$name.out"
  fi
}
# ok <name> <command...>
ok() {
  local name=$1
  shift
  if "$@" >"$work/$name.out" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED $name"
    cat "$work/$name.out"
  fi
}
# The last lines of a script.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
