#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <array>
#include <cstddef>

namespace test {

/// From now on `call` fails with `error` in this process, for ever; or only when its argument number `argument` is
/// `value`. False when a process may not filter its own system calls here.
inline bool deny(int call, int error, int argument = -1, unsigned value = 0) {
  const unsigned refuse = SECCOMP_RET_ERRNO | static_cast<unsigned>(error);
  const unsigned where =
      argument < 0 ? offsetof(seccomp_data, nr) : offsetof(seccomp_data, args) + 8 * static_cast<unsigned>(argument);
  const std::array<sock_filter, 6> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, where),  // the lower half: the machines that weir runs on are little-endian
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument < 0 ? static_cast<unsigned>(call) : value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, refuse),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{.len = program.size(), .filter = const_cast<sock_filter*>(program.data())};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

inline const char* const cannot_filter = "this sandbox does not let a process filter its own system calls";

}  // namespace test
