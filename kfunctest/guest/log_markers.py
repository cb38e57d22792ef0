# SPDX-License-Identifier: GPL-2.0-only
"""Names that the guest gives to what the host looks for in its log."""

#: What the agent's process is called, in lists of tasks and in the OOM killer's report: 15 characters at most (comm).
AGENT = "kfunctest-agent"
#: What the guest's shell says in the kernel's log when the agent's process has ended; its exit status follows.
AGENT_ENDED = "kfunctest: the agent ended with status"
