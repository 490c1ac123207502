#pragma once
// The second half of the demo: a log of a million lines goes through a pipeline on weir, and through the same one made
// of Go's channels where Go is installed. The totals are compared with an independent count.

namespace bench {

/// Prints what it does and finds. False when something was wrong.
bool run_pipeline_demo();

}  // namespace bench
