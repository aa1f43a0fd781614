// Any bytes as an Avro container file: never crashes, never reads outside, never loops without end.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/avro/container.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace signalbox::avro;
    Limits limits;
    limits.block_max_bytes = 1 << 20;
    ContainerReader reader(std::string_view(reinterpret_cast<const char*>(data), size), limits);
    if (!reader.open()) return 0;
    const auto schema = parse_schema(reader.schema_text());
    if (!schema) return 0;
    // One wanted field per kind of expectation; an open record besides.
    PlanRequest request;
    request.fields = {{no_id, 0, Expect::Integer, false, "a"},
                      {no_id, 1, Expect::Any, false, "b"},
                      {2, 100, Expect::Text, false, "c"}};
    request.open_parent = 2;
    request.open_record = 102;
    const auto plan = Plan::compile(*schema, request);
    if (!plan) return 0;
    std::uint64_t sum = 0;
    const auto status = reader.for_each_row(*plan, [&](const RowCursor& row) -> signalbox::base::Status {
        for (std::size_t slot = 0; slot < plan->slots(); ++slot) {
            for (const char c : row[slot].kind == ValueKind::Text ? row[slot].text : std::string_view{}) {
                sum += static_cast<unsigned char>(c);
            }
        }
        return {};
    });
    return status && sum == UINT64_MAX ? -1 : 0;
}
