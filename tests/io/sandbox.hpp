#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <string>

#include "../deny.hpp"

namespace test {

/// What `say` says in a process of its own, without WEIR_BACKEND. It must not start threads (TSan allows none there),
/// and must not take longer than some seconds.
inline std::string in_a_child(const std::function<std::string()>& say) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(60);
    ::unsetenv("WEIR_BACKEND");
    const std::string said = say();
    const ssize_t n = ::write(ends[1], said.data(), said.size());
    ::_exit(n == static_cast<ssize_t>(said.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string said;
  std::array<char, 512> part;
  for (ssize_t n = 1; n > 0; said.append(part.data(), static_cast<std::size_t>(n))) {
    n = std::max<ssize_t>(::read(ends[0], part.data(), part.size()), 0);
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  return said;
}

}  // namespace test
