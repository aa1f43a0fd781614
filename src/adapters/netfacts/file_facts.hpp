#pragma once
// Network facts from one JSON file, so that what a cloud's export says can be checked without asking the cloud:
// {"read_at": "2026-01-02T03:04:05Z", "zones": […], "networks": […], "subnets": […], …}, each list with the items of
// the lab's describe call of that name (docs/reference/network.md). All of it or nothing: half an answer would show
// faults that do not exist.

#include <string>

#include "base/json.hpp"
#include "ports/network_facts.hpp"

namespace signalbox::netfacts {

class FileFacts final : public ports::NetworkFacts {
  public:
    explicit FileFacts(std::string path) : path_(std::move(path)) {}

    // The facts are as old as the file says in `read_at`; without that, they count as read now. Errors:
    // Unavailable if the file is missing or can't be read, CorruptData with the file, the list, the item and the field.
    base::Result<network::Facts> read(base::WallTime now, base::Duration timeout) override;

    static constexpr std::uint64_t size_max_bytes = 64 << 20;

  private:
    std::string path_;
};

// The file's content as facts.
base::Result<network::Facts> parse_facts(const base::json::value& content, base::WallTime now);

}  // namespace signalbox::netfacts
