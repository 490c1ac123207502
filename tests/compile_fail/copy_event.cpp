// expect: event(const event&) = delete
#include <weir/sync/event.hpp>

weir::event copy(const weir::event& other) { return other; }
