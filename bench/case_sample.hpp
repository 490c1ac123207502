#pragma once
// What one run of one case showed.

#include <limits>

namespace bench {

/// NaN where something was not measured.
struct case_sample {
  double value = std::numeric_limits<double>::quiet_NaN();        // ns for each operation, or what its kind says
  double allocations = std::numeric_limits<double>::quiet_NaN();  // calls of operator new for each, once it is warm
  double seconds = std::numeric_limits<double>::quiet_NaN();      // that passed, where that is of interest
  double stretched = 1;                                           // one thread: time passed for each CPU time
  bool right = false;                                             // the answers
};

}  // namespace bench
