#pragma once
// What one run of one case showed.

#include <limits>

namespace bench {

/// NaN where something was not measured.
struct case_sample {
  double ns = std::numeric_limits<double>::quiet_NaN();           // for each operation
  double allocations = std::numeric_limits<double>::quiet_NaN();  // calls of operator new for each, once it is warm
  double stretched = 1;                                           // one thread: time passed for each CPU time
  bool right = false;                                             // the answers
};

}  // namespace bench
