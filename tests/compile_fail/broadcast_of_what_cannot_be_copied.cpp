// expect: send a std::shared_ptr to what cannot be copied
// Every subscriber gets a copy.
#include <weir/sync/broadcast.hpp>

#include <memory>

weir::broadcast<std::unique_ptr<int>> items(1);
