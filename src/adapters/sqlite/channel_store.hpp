#pragma once
// What channels must still know after a restart, in SQLite.

#include <memory>

#include "adapters/sqlite/database.hpp"
#include "ports/channels.hpp"

namespace signalbox::sqlite {

class ChannelStore final : public ports::ChannelStore {
  public:
    // Makes the table if it is missing.
    static base::Result<std::unique_ptr<ChannelStore>> open(std::shared_ptr<Database> database);

    base::Result<std::optional<channels::Memory>> load(const std::string& channel) override;
    base::Status store(const std::string& channel, const channels::Memory& memory,
                       ports::Durability durability) override;
    base::Status forget(const std::string& channel) override;

  private:
    explicit ChannelStore(std::shared_ptr<Database> database) : database_(std::move(database)) {}

    std::shared_ptr<Database> database_;
};

}  // namespace signalbox::sqlite
