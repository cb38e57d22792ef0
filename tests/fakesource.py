# SPDX-License-Identifier: GPL-2.0-only
"""A kernel's source of a handful of files, which the machine's own make and gcc build in a second. It does not boot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from kfunctest import proc
from tests import fakekernel

#: What make does with it: the kernel's targets, its lines, and its command lines beside the objects.
MAKEFILE = """\
# SPDX-License-Identifier: GPL-2.0
VERSION = 7
PATCHLEVEL = 9
SUBLEVEL = 1

objects := $(patsubst %.c,$(O)/%.o,$(wildcard */*.c))
image := $(O)/arch/x86/boot/bzImage
.DELETE_ON_ERROR:

allnoconfig:
\t@cp $(KCONFIG_ALLCONFIG) $(O)/.config
olddefconfig:
\t@grep -v -f dropped $(O)/.config > $(O)/.config.new; mv $(O)/.config.new $(O)/.config
\t@echo 'CONFIG_CC_VERSION_TEXT="gcc (Made up) 12"' >> $(O)/.config
bzImage: $(image)

$(O)/%.o: %.c include/all.h
\t@echo '  CC      $*.o'
\t@mkdir -p $(@D)
\t@gcc $(KCFLAGS) -Iinclude -c -o $@ $<
\t@echo 'savedcmd_$*.o := gcc $(CURDIR)/$< $(CURDIR)/include/all.h' > $(@D)/.$(@F).cmd
$(O)/vmlinux: $(objects)
\t@echo '  LD      vmlinux'
\t@gcc -nostdlib -r -Wl,--no-undefined -o $@ $^
$(image): $(O)/vmlinux image
\t@mkdir -p $(@D)
\t@{ cat image $(O)/mm/memcontrol.o; echo $(LOCALVERSION); } > $@
"""

MEMCONTROL = """\
#include <all.h>

long one(void)
{
\treturn 1;
}

long two(void)
{
\treturn 2;
}

long three(void)
{
\treturn 3;
}
"""

FILES = {
    "Makefile": MAKEFILE,
    "arch/x86/Makefile": "# for this machine\n",
    "Kconfig": "mainmenu nothing\n",
    "dropped": "no such option\n",
    "lib/Kconfig.debug": "config DEBUG_INFO_BTF\n\tbool\n\tdepends on PAHOLE_VERSION >= 116\n"
    "\tdepends on PAHOLE_VERSION >= 122\n\nconfig OTHER\n\tdepends on PAHOLE_VERSION >= 999\n",
    "include/all.h": "long one(void);\n",
    "mm/memcontrol.c": MEMCONTROL,
    "mm/vmscan.c": "#include <all.h>\n\nlong scan(void)\n{\n\treturn one();\n}\n",
    "kernel/fork.c": "#include <all.h>\n\nlong spoon(void)\n{\n\treturn one();\n}\n",
}


def write(folder: Path, **changes: str) -> Path:
    """The source in ``folder``; ``changes`` replace files, named with ``__`` for a slash and ``_DOT_`` for a dot."""
    files = {**FILES, **{name.replace("__", "/").replace("_DOT_", "."): text for name, text in changes.items()}}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "image").write_bytes(fakekernel.image(config=None))
    return folder


def git(folder: Path, *words: str | Path) -> str:
    """Run git there as some user, and return what it says."""
    env: dict[str, str | None] = {name: None for name in os.environ if name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    user = ["-c", "user.name=N", "-c", "user.email=n@example.org", "-c", "init.defaultBranch=main"]
    return proc.run([proc.need("git"), *user, "-C", folder, *words], seconds=60, env=env).stdout.strip()


def commit(folder: Path, subject: str = "a change") -> str:
    """Commit all that is there, in a repository made where there is none; returns the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", subject)
    return git(folder, "rev-parse", "HEAD")


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below a folder, hidden ones and git's too: mode, time of change in ns, content."""
    return {str(path.relative_to(folder)): seen for path, seen in _seen(folder)}


def _seen(folder: Path) -> Iterator[tuple[Path, tuple[int, int, bytes]]]:
    for path in folder.rglob("*"):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        yield path, (status.st_mode, status.st_mtime_ns, content)
