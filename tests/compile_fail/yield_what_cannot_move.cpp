// expect: a generator moves its values out
#include <weir/runtime/async_generator.hpp>

struct fixed {
  fixed() = default;
  fixed(const fixed&) = delete;
};

weir::async_generator<fixed> make() { co_yield fixed(); }
