#pragma once
// The part of the API that concerns tables and their alarms (docs/reference/api.md).

#include <optional>
#include <string>
#include <string_view>

#include "api/api.hpp"

namespace signalbox::api {

struct TablePlace {
    enum class What { Tables, Table, Commits, Look, Alarms, Acknowledge };
    What what = What::Tables;
    std::string name;  // the table, or the alarm
};

// Nothing if the path is none of /v1/tables, /v1/tables/NAME, /v1/tables/NAME/commits, /v1/tables-look, /v1/alarms,
// /v1/alarms/NAME/acknowledge.
std::optional<TablePlace> table_place(std::string_view path);
Response answer_tables(TableSource& source, const TablePlace& place, const Request& request);

}  // namespace signalbox::api
