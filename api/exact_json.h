#pragma once
// JSON text whose numbers become the doubles that are nearest to them: Boost.JSON 1.81 may miss by
// one unit in the last place, so that an order would be another one after it was stored.

#include <boost/json/value.hpp>
#include <boost/system/error_code.hpp>

#include <string_view>

namespace margay::api {

// As boost::json::parse() does it, at most 64 levels deep; the error is set and the value null when
// the text is not JSON.
[[nodiscard]] boost::json::value parse_exactly(std::string_view text,
                                               boost::system::error_code& errc,
                                               boost::json::storage_ptr memory);

}  // namespace margay::api
