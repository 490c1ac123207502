#pragma once
// Whether this process may use io_uring, tried instead of guessed.

#include <string>

namespace bench {

struct ring_access {
  bool allowed = false;   // a ring can be made and entered
  bool deferred = false;  // with what raw_uring_echo needs: deferred task work (Linux 6.1)
  std::string why_not;    // the sentence for what is missing
};

const ring_access& probe_ring();

}  // namespace bench
