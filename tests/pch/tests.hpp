// lint: ok (precompiled, where g++ warns of #pragma once)
// What nearly every test includes, compiled once per test program: reading weir's headers would cost two seconds in
// each translation unit. Tests include what they use all the same.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <variant>
#include <vector>

#include <weir/weir.hpp>
