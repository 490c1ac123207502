#pragma once
// Counts the system calls that a running process makes, by perf's raw_syscalls:sys_enter.
// While one exists every system call of the machine is slower: never alive while CPU is measured.

#include <sys/types.h>
#include <string>
#include <vector>

namespace bench {

class syscall_counter {
 public:
  /// Begins to count the threads that `process` has now and those that they start.
  explicit syscall_counter(pid_t process);
  ~syscall_counter();
  syscall_counter(const syscall_counter&) = delete;
  syscall_counter& operator=(const syscall_counter&) = delete;

  /// Calls since the beginning; NaN where counting is not permitted.
  double count() const;
  /// A sentence, where count() gives NaN.
  const std::string& why_not() const noexcept { return why_not_; }

 private:
  std::vector<int> events_;
  std::string why_not_;
};

}  // namespace bench
