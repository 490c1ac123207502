#pragma once

// std::function, std::ref, std::equal_to and std::hash. libstdc++ keeps them in headers of their own; the rest of
// <functional> brings std::unordered_map and the algorithms, for its searchers.

#if __has_include(<bits/refwrap.h>) && __has_include(<bits/std_function.h>)
#include <bits/refwrap.h>
#include <bits/std_function.h>
#else
#include <functional>
#endif
