#include "app/cmd_table.hpp"
#include "app/job_context.hpp"
#include "app/table_book.hpp"
#include "app/table_history.hpp"

namespace signalbox::app {
namespace {

struct Listed {
    std::vector<ports::TableRecord> tables;
    std::vector<std::string> faults;
};

base::Result<Listed> from_store(const Config& config) {
    SB_TRY(TableBook book, open_book(config));
    Listed listed;
    SB_TRY(listed.tables, book.store->list());
    return listed;
}

// What the daemon would have stored of it, had it just seen it for the first time.
base::Status read_into(TableBook& book, const Config& config, const TableSource& source) {
    ports::TableVersion seen;
    SB_TRY(const auto table, read_source(source, seen));
    if (!table) return {};
    engine::TableLoopConfig loop_config = config.watch;
    loop_config.first_look = lake::FirstLook::History;
    // The newest commit alone: a list needs no more, and reads no more.
    loop_config.history_commits_max = 1;
    loop_config.alarms.clear();
    engine::TableLoop loop(*book.store, *book.journal, std::move(loop_config));
    Progress progress;
    SB_TRY(const auto look, loop.look(table->name, table->metadata, table->metadata_location, *table->reader,
                                      wall_clock(), show_reading(progress, table->name)));
    if (look.notes.empty()) return {};
    return base::fail(base::ErrorKind::CorruptData, "{}", base::join(look.notes, "; "));
}

base::Result<Listed> from_folder(const std::string& folder, const Config& config) {
    Listed listed;
    SB_TRY(const auto sources, sources_below(folder, listed.faults));
    SB_TRY(TableBook book, open_memory_book());
    for (const TableSource& source : sources) {
        const auto status = read_into(book, config, source);
        SB_TRY(auto record, book.store->load(source.name));
        if (!record) record = ports::TableRecord{source.name, 0, {}, {}};
        // One that can't be read does not hide the others.
        if (!status) record->data["trouble"] = status.error().text();
        listed.tables.push_back(std::move(*record));
    }
    return listed;
}

base::Result<int> list(const TableOptions& options) {
    const bool folder = !options.selector.empty();
    if (folder && !is_path(options.selector))
        return base::fail(base::ErrorKind::InvalidArgument,
                          "{}: there is no such folder; without one, the store's tables are listed", options.selector);
    SB_TRY(const Config config, config_for(options.source, !folder));
    SB_TRY(Listed listed, folder ? from_folder(options.selector, config) : from_store(config));
    if (options.as_json()) {
        base::json::array items;
        for (const auto& table : listed.tables) items.push_back(table_json(table));
        base::json::array faults;
        for (const auto& fault : listed.faults) faults.emplace_back(fault);
        print(base::pretty_json({{"items", std::move(items)}, {"faults", std::move(faults)}}));
    } else if (listed.tables.empty()) {
        print("No table is known yet: the daemon has not looked at any\n");
    } else {
        print(tables_text(listed.tables, wall_clock()));
    }
    for (const auto& fault : listed.faults) std::fprintf(stderr, "signalbox: %s\n", fault.c_str());
    return listed.faults.empty() ? 0 : base::exit_code(base::ErrorKind::Unavailable);
}

}  // namespace

void register_table_list(CLI::App& table, int& exit_status) {
    auto options = std::make_shared<TableOptions>();
    auto* command =
        add_table_command(table, "list",
                          "The tables that the daemon watches, as it last saw them; with a folder, the tables below "
                          "it, read now",
                          options, list, exit_status);
    command->add_option("PATH", options->selector, "A folder of tables, such as a warehouse; needs no daemon");
}

}  // namespace signalbox::app
