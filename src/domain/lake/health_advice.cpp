#include <algorithm>

#include "base/text.hpp"
#include "domain/lake/health_internal.hpp"
#include "domain/lake/partition_filter.hpp"
#include "domain/lake/value_text.hpp"

namespace signalbox::lake {
namespace {

constexpr std::size_t filter_max_bytes = 4000;

// Statements and gains of one table.
class Adviser {
  public:
    Adviser(const HealthFigures& figures, const HealthOptions& options) : figures_(figures), options_(options) {}

    std::vector<Advice> advise(const std::vector<PartitionTrouble>& partitions) {
        compact(partitions);
        remove_dangling();
        rewrite_manifests();
        expire_snapshots();
        limit_metadata_files();
        std::stable_sort(advice_.begin(), advice_.end(),
                         [](const Advice& a, const Advice& b) { return a.gain > b.gain; });
        return std::move(advice_);
    }

  private:
    std::string call(std::string_view procedure, std::string_view arguments) const {
        return fmt::format("CALL {}.system.{}(table => {}{})", sql_name(options_.catalog), procedure,
                           sql_text(options_.table), arguments);
    }

    void add(Advice advice, const HealthFigures& after) {
        const auto now = health_score(health_parts(figures_));
        const auto then = health_score(health_parts(after));
        advice.gain = now && then ? std::max(0.0, *then - *now) : 0;
        advice_.push_back(std::move(advice));
    }

    // Which records those files hold is not kept: as many as others, on average.
    static void drop_deletes(HealthFigures& figures, std::int64_t files) {
        if (figures.delete_files == 0) return;
        const double left = 1 - static_cast<double>(files) / static_cast<double>(figures.delete_files);
        figures.delete_files -= files;
        figures.deleted_records = static_cast<std::int64_t>(static_cast<double>(figures.deleted_records) * left);
        figures.dangling_position = std::min(figures.dangling_position, figures.delete_files);
        figures.dangling_equality = std::min(figures.dangling_equality, figures.delete_files);
    }

    // The listed partitions as one condition; nullopt with a reason.
    static std::optional<std::string> joined_filter(const std::vector<PartitionTrouble>& partitions, std::size_t count,
                                                    std::string& reason) {
        std::vector<std::string> conditions;
        for (std::size_t i = 0; i < count; ++i) {
            if (!partitions[i].filter) {
                reason = fmt::format("no condition on columns can name {}: the statement is for the whole table",
                                     partitions[i].name);
                return std::nullopt;
            }
            if (partitions[i].filter->empty()) return std::nullopt;  // unpartitioned: the whole table is meant
            conditions.push_back(count == 1 ? *partitions[i].filter : fmt::format("({})", *partitions[i].filter));
        }
        std::string filter = base::join(conditions, " OR ");
        if (filter.size() <= filter_max_bytes) return filter;
        reason = "the condition would be too long: the statement is for the whole table";
        return std::nullopt;
    }

    void compact(const std::vector<PartitionTrouble>& partitions) {
        const std::size_t count = std::min(options_.partitions_max, partitions.size());
        if (count == 0) return;
        Advice advice;
        HealthFigures after = figures_;
        std::int64_t delete_files = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const PartitionTrouble& trouble = partitions[i];
            advice.partitions.push_back(trouble.name);
            advice.count_before += trouble.files;
            advice.count_after += trouble.files_after;
            advice.bytes_to_rewrite += trouble.bytes_to_rewrite;
            delete_files += trouble.delete_files;
        }
        after.avoidable_files -= advice.count_before - advice.count_after;
        after.data_files -= advice.count_before - advice.count_after;
        drop_deletes(after, delete_files);
        advice.text = fmt::format("compact {} of {} partitions: {} data files become {}, {} delete files are applied",
                                  count, partitions.size(), advice.count_before, advice.count_after, delete_files);
        const auto filter = joined_filter(partitions, count, advice.note);
        std::string arguments = filter ? fmt::format(", where => {}", sql_text(*filter)) : "";
        if (delete_files > 0) {
            arguments += ", options => map('delete-file-threshold', '1', 'remove-dangling-deletes', 'true')";
        }
        advice.statement = call("rewrite_data_files", arguments);
        add(std::move(advice), after);
    }

    void remove_dangling() {
        const std::int64_t dangling = figures_.dangling_position + figures_.dangling_equality;
        if (dangling == 0) return;
        Advice advice;
        advice.kind = AdviceKind::RemoveDanglingDeletes;
        advice.count_before = figures_.delete_files;
        advice.count_after = figures_.delete_files - dangling;
        advice.text = fmt::format("remove {} delete files that apply to no data file", dangling);
        advice.statement = call("rewrite_position_delete_files", ", options => map('rewrite-all', 'true')");
        if (figures_.dangling_equality > 0) {
            advice.statement = call("rewrite_data_files", ", options => map('remove-dangling-deletes', 'true')");
            advice.note =
                fmt::format("{} of them are equality deletes, which rewrite_position_delete_files leaves alone",
                            figures_.dangling_equality);
        }
        HealthFigures after = figures_;
        drop_deletes(after, dangling);
        after.dangling_position = after.dangling_equality = 0;
        add(std::move(advice), after);
    }

    void rewrite_manifests() {
        if (!figures_.manifests_after || figures_.manifests - *figures_.manifests_after < 10) return;
        Advice advice;
        advice.kind = AdviceKind::RewriteManifests;
        advice.count_before = figures_.manifests;
        advice.count_after = *figures_.manifests_after;
        advice.text = fmt::format("rewrite manifests: {} become about {}", advice.count_before, advice.count_after);
        advice.statement = call("rewrite_manifests", "");
        HealthFigures after = figures_;
        after.manifests = *after.manifests_after;
        add(std::move(advice), after);
    }

    void expire_snapshots() {
        if (figures_.expirable == 0) return;
        Advice advice;
        advice.kind = AdviceKind::ExpireSnapshots;
        advice.count_before = figures_.snapshots;
        advice.count_after = figures_.snapshots - figures_.expirable;
        advice.text = fmt::format("expire {} snapshots that are older than {} days", figures_.expirable,
                                  static_cast<double>(figures_.age_max_ms) / 86'400'000);
        std::string before = timestamp_text((options_.now_ms - figures_.age_max_ms) / 1000 * 1'000'000, 1'000'000);
        std::replace(before.begin(), before.end(), 'T', ' ');
        advice.statement = call("expire_snapshots", fmt::format(", older_than => TIMESTAMP '{} UTC', retain_last => {}",
                                                                before, figures_.keep_min));
        advice.note = "expired snapshots can't be read or rolled back to any more";
        HealthFigures after = figures_;
        after.snapshots -= after.expirable;
        after.expirable = 0;
        add(std::move(advice), after);
    }

    void limit_metadata_files() {
        if (figures_.metadata_files <= figures_.metadata_kept) return;
        Advice advice;
        advice.kind = AdviceKind::LimitMetadataFiles;
        advice.count_before = figures_.metadata_files;
        advice.count_after = figures_.metadata_kept;
        advice.text = fmt::format("keep fewer metadata files: {} are still named", figures_.metadata_files);
        advice.statement = fmt::format(
            "ALTER TABLE {}.{} SET TBLPROPERTIES ('write.metadata.delete-after-commit.enabled' = 'true', "
            "'write.metadata.previous-versions-max' = '{}')",
            sql_name(options_.catalog), sql_name(options_.table), figures_.metadata_kept - 1);
        HealthFigures after = figures_;
        after.metadata_files = after.metadata_kept;
        add(std::move(advice), after);
    }

    const HealthFigures& figures_;
    const HealthOptions& options_;
    std::vector<Advice> advice_;
};

}  // namespace

std::string_view to_string(AdviceKind kind) {
    switch (kind) {
        case AdviceKind::CompactPartitions:
            return "compact-partitions";
        case AdviceKind::RemoveDanglingDeletes:
            return "remove-dangling-deletes";
        case AdviceKind::RewriteManifests:
            return "rewrite-manifests";
        case AdviceKind::ExpireSnapshots:
            return "expire-snapshots";
        case AdviceKind::LimitMetadataFiles:
            break;
    }
    return "limit-metadata-files";
}

std::vector<Advice> health_advice(const HealthFigures& figures, const std::vector<PartitionTrouble>& partitions,
                                  const HealthOptions& options) {
    return Adviser(figures, options).advise(partitions);
}

}  // namespace signalbox::lake
