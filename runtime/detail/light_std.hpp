#pragma once

// Of <algorithm>, <chrono> and <ranges> what weir's headers need: std::min and its like, durations and clocks, the
// concepts of ranges. libstdc++ keeps that in headers of its own; the calendar, streams, views and algorithms on ranges
// that the whole of them brings would be a quarter of what <weir/weir.hpp> costs to compile.

#if __has_include(<bits/chrono.h>) && __has_include(<bits/ranges_base.h>)
#include <bits/chrono.h>

#include <span>  // has the concepts of ranges, and through <array> std::min and std::copy
#else
#include <algorithm>
#include <chrono>
#include <ranges>
#endif
