/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the verifier must say about a program, written beside the program.
 *
 * The names and their meaning are those of bpf_misc.h in the kernel's selftests, so a file moves between the two trees as
 * it is. They become BTF declaration tags of the function. Compilers do not promise an order of tags, so each carries a
 * number that grows down the file.
 *
 *   __success		the kernel must accept the program (also without any of these)
 *   __failure		the kernel must refuse it
 *   __msg(text)	the verifier's log holds this text, behind the one of the __msg before; regular expressions stand
 *			in double braces: "Unreleased reference id={{[0-9]+}}"
 *   __not_msg(text)	the log does not hold this text between its neighbours
 *   __retval(n)	a test run returns n
 *   __log_level(n)	load with this log level, and so keep the log of an accepted program
 *   __flag(f)		load with this BPF_F_* flag, by name or as a number
 *   __description(t)	a name for reports
 *
 * Ours, of which the kernel's selftests know nothing:
 *
 *   __msg_until(generation, text), __not_msg_until(generation, text), __success_until(generation),
 *   __failure_until(generation)
 *			what older verifiers say or decide instead, up to this generation (kfunctest/verifier_annotations.py)
 *   __errno(name)	what bpf(2) gives for a program that is refused; each of ours says it
 *   __errno_until(generation, name)
 *   __needs_kfunc(name)	the program is nothing without this kfunc, which has nothing to do with memcgs
 */
#ifndef KFUNCTEST_H
#define KFUNCTEST_H

#define __tag_text(n) #n
#define __tag_number(n) __tag_text(n)
#define __test_tag(text) __attribute__((btf_decl_tag("comment:" __tag_number(__COUNTER__) ":" text)))

#define __success		__test_tag("test_expect_success")
#define __failure		__test_tag("test_expect_failure")
#define __msg(text)		__test_tag("test_expect_msg=" text)
#define __not_msg(text)		__test_tag("test_expect_not_msg=" text)
#define __retval(n)		__test_tag("test_retval=" #n)
#define __log_level(n)		__test_tag("test_log_level=" #n)
#define __flag(f)		__test_tag("test_prog_flags=" #f)
#define __description(text)	__test_tag("test_description=" text)

#define __until_tag(generation, text)		__test_tag("kfunctest_until=" generation ":" text)

#define __success_until(generation)		__until_tag(generation, "test_expect_success")
#define __failure_until(generation)		__until_tag(generation, "test_expect_failure")
#define __msg_until(generation, text)		__until_tag(generation, "test_expect_msg=" text)
#define __not_msg_until(generation, text)	__until_tag(generation, "test_expect_not_msg=" text)
#define __errno(name)				__test_tag("kfunctest_errno=" #name)
#define __errno_until(generation, name)		__until_tag(generation, "kfunctest_errno=" #name)
#define __needs_kfunc(name)			__test_tag("kfunctest_needs_kfunc=" #name)

#endif
