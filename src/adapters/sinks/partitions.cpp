#include "adapters/sinks/partitions.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace signalbox::sinks {
namespace {

using ports::MetricPoint;

struct Group {
    std::vector<std::size_t> members;  // of the points
};

// Points [first, last) are of one commit.
void limit_commit(const std::vector<MetricPoint>& points, std::size_t first, std::size_t last, std::size_t max,
                  std::vector<MetricPoint>& out) {
    std::map<std::string_view, Group> groups;
    std::vector<bool> kept(last - first, true);
    for (std::size_t i = first; i < last; ++i) {
        if (points[i].partition.empty()) continue;
        kept[i - first] = false;
        if (points[i].value) groups[points[i].name].members.push_back(i);
    }
    std::vector<MetricPoint> sums;
    for (auto& [name, group] : groups) {
        auto& members = group.members;
        const std::size_t some = std::min(max, members.size());
        const auto middle = members.begin() + static_cast<std::ptrdiff_t>(some);
        std::partial_sort(members.begin(), middle, members.end(), [&](std::size_t a, std::size_t b) {
            return std::tuple(-*points[a].value, std::string_view(points[a].partition)) <
                   std::tuple(-*points[b].value, std::string_view(points[b].partition));
        });
        for (std::size_t i = 0; i < some; ++i) kept[members[i] - first] = true;
        if (some == members.size()) continue;
        MetricPoint& sum = sums.emplace_back(points[members[some]]);
        sum.partition = other_partitions;
        sum.value = 0;
        for (std::size_t i = some; i < members.size(); ++i) *sum.value += *points[members[i]].value;
    }
    for (std::size_t i = first; i < last; ++i)
        if (kept[i - first]) out.push_back(points[i]);
    out.insert(out.end(), std::make_move_iterator(sums.begin()), std::make_move_iterator(sums.end()));
}

}  // namespace

std::vector<MetricPoint> limit_partitions(const std::vector<MetricPoint>& points, std::size_t max) {
    std::vector<MetricPoint> out;
    for (std::size_t first = 0; first < points.size();) {
        std::size_t last = first;
        while (last < points.size() && points[last].table == points[first].table &&
               points[last].snapshot_id == points[first].snapshot_id)
            ++last;
        limit_commit(points, first, last, max, out);
        first = last;
    }
    return out;
}

}  // namespace signalbox::sinks
