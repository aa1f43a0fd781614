#include "adapters/sqlite/channel_store.hpp"

namespace signalbox::sqlite {

base::Result<std::unique_ptr<ChannelStore>> ChannelStore::open(std::shared_ptr<Database> database) {
    SB_CHECK(
        database->execute("CREATE TABLE IF NOT EXISTS channels (channel TEXT PRIMARY KEY, document TEXT NOT NULL)"));
    return std::unique_ptr<ChannelStore>(new ChannelStore(std::move(database)));
}

base::Result<std::optional<channels::Memory>> ChannelStore::load(const std::string& channel) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT document FROM channels WHERE channel = ?"));
    statement.bind(1, channel);
    SB_TRY(const bool row, statement.step());
    if (!row) return std::optional<channels::Memory>();
    SB_TRY(const auto document, base::parse_json(statement.text(0)));
    SB_TRY(auto memory, channels::memory_from_json(document));
    return std::optional<channels::Memory>(std::move(memory));
}

base::Status ChannelStore::store(const std::string& channel, const channels::Memory& memory,
                                 ports::Durability durability) {
    return database_->transaction(durability == ports::Durability::Full, [&]() -> base::Status {
        SB_TRY(auto statement, database_->prepare("INSERT INTO channels VALUES (?1, ?2)"
                                                  " ON CONFLICT (channel) DO UPDATE SET document = ?2"));
        statement.bind(1, channel).bind(2, base::json::serialize(channels::to_json(memory)));
        return statement.run();
    });
}

base::Status ChannelStore::forget(const std::string& channel) {
    return database_->transaction(false, [&]() -> base::Status {
        SB_TRY(auto statement, database_->prepare("DELETE FROM channels WHERE channel = ?"));
        statement.bind(1, channel);
        return statement.run();
    });
}

}  // namespace signalbox::sqlite
