"""Work queue: the items that wait for a network, and the order in which they run."""

from collections import deque
from collections.abc import Sequence

from service.scheduling.work import Priority
from service.scheduling.work_item import Group, WorkItem

_INTERACTIVE_TURNS = 4  # interactive batches in a row before one of the bulk items that wait


class WorkQueue:
    """Items that wait, by groups that may run together; for one thread at a time."""

    def __init__(self) -> None:
        self._groups: dict[Group, deque[WorkItem]] = {}  # each oldest first, none empty
        self._turns = 0  # interactive batches since the last bulk one, while bulk waits

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def add(self, items: Sequence[WorkItem]) -> None:
        for item in items:
            self._groups.setdefault(item.group, deque()).append(item)

    def remove(self, item: WorkItem) -> None:
        self._groups[item.group].remove(item)
        self._drop_if_empty(item.group)

    def items(self) -> list[WorkItem]:
        return [item for items in self._groups.values() for item in items]

    def next_group(self) -> Sequence[WorkItem]:
        """Returns the items whose turn it is, oldest first: interactive before bulk, which does not wait for ever."""
        oldest = {priority: items for priority in Priority if (items := self._oldest(priority))}
        chosen = min(oldest)
        if len(oldest) > 1 and self._turns >= _INTERACTIVE_TURNS:
            chosen = Priority.BULK
        self._turns = self._turns + 1 if len(oldest) > 1 and chosen is Priority.INTERACTIVE else 0
        return oldest[chosen]

    def pop(self, group: Group) -> WorkItem | None:
        """Removes and returns a group's oldest item."""
        items = self._groups.get(group)
        if not items:
            return None
        item = items.popleft()
        self._drop_if_empty(group)
        return item

    def _oldest(self, priority: Priority) -> deque[WorkItem] | None:
        groups = [items for group, items in self._groups.items() if group[0] is priority]
        return min(groups, key=lambda items: items[0].number, default=None)

    def _drop_if_empty(self, group: Group) -> None:
        if not self._groups[group]:
            del self._groups[group]
