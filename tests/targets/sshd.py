# SPDX-License-Identifier: GPL-2.0-only
"""An ssh client's configuration for a machine that is this one: its sshd is started for each connection, by a pipe."""

from __future__ import annotations

from pathlib import Path

from kfunctest import proc

SERVER = """
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM yes
PermitRootLogin yes
PasswordAuthentication no
"""
CLIENT = """
Host machine
  User root
  ProxyCommand {sshd} -i -f {folder}/sshd_config
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking accept-new
  IdentityAgent none
"""


def configured(folder: Path) -> Path:
    """Write keys and both configurations; returns ssh's, in which the machine is called ``machine``."""
    sshd = proc.need("sshd")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host", "user"):
        proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], seconds=30)
    (folder / "sshd_config").write_text(SERVER.format(folder=folder))
    config = folder / "ssh_config"
    config.write_text(CLIENT.format(folder=folder, sshd=sshd))
    return config
