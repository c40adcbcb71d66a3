"""Drawing without replacement, again and again, from any position on."""

import functools
import heapq

import numpy as np

__all__ = ['Deck', 'Rotation', 'keyed_generator']


def keyed_generator(seed, *stream):
    """Random generator of its own for each tuple of at most four integers.

    A counter-based generator: no state is carried from one to the next, and
    building one costs a third of seeding numpy's default one.

    Args:
        seed (int): Seed.
        *stream (int): Non-negative integers below 2^62.

    Returns:
        np.random.Generator: A function of the arguments only.

    >>> one, two = keyed_generator(0, 1, 2), keyed_generator(0, 1, 2)
    >>> one.random() == two.random()
    True
    """
    # The lowest word of the counter counts the blocks drawn; the first of the stream has room
    # above the number of the others, which tells (1, ) from (1, 0).
    first, *others = stream
    counter = [0, first * 4 + len(others), *others, 0, 0]
    return np.random.Generator(np.random.Philox(key=_key(seed), counter=counter[:4]))


@functools.lru_cache(maxsize=8)
def _key(seed):
    return np.random.SeedSequence(seed).generate_state(2, np.uint64)


class Deck:
    r"""Endless sequence of n cards: pass after pass, each a new permutation.

    .. math::
        x_{qn + i} = \pi_q(i), \qquad q = 0, 1, \dots, \quad 0 \le i < n

    Any ``window`` consecutive cards differ, also across two passes. To this
    end the permutations are independent and uniform but for cards at the
    beginning of a pass that came too shortly before, which are put off until
    they may come. The last window - 1 cards of a pass are never touched, so
    that a pass depends on its own number and the one before, and the sequence
    can be entered anywhere.

    Args:
        size (int): Number of cards n.
        window (int): Number of consecutive cards that differ, at most
            (n + 1) / 2.
        seed (int): Seed.
        *stream (int): What else the permutations are drawn from, beside the
            number of the pass; at most two integers.

    >>> deck = Deck(5, 3, 0)
    >>> deck.draw(0, 5).tolist(), deck.draw(3, 5).tolist()
    ([0, 3, 4, 2, 1], [2, 1, 3, 4, 1])
    """

    def __init__(self, size, window, seed, *stream):
        if not (size >= 1 and 2 * window <= size + 1):
            raise ValueError(f'{window} of {size} cards cannot be kept apart')
        self.size = size
        self.window = window
        self._key = (seed, *stream)
        self._shuffled = functools.lru_cache(maxsize=2)(self._shuffle)
        self.order = functools.lru_cache(maxsize=2)(self._order)

    def _shuffle(self, number):
        return keyed_generator(*self._key, number).permutation(self.size)

    def _order(self, number):
        cards, free = self._shuffled(number), self.size - (self.window - 1)
        if number == 0 or self.window < 2:
            return cards
        # The k-th but last card of the pass before may come window - k positions into this one.
        release = np.zeros(self.size, np.int64)
        release[self._shuffled(number - 1)[free:]] = np.arange(1, self.window)
        early = release[cards[:free]] > np.arange(free)
        if not early.any():
            return cards
        return np.concatenate([_put_off(cards[:free], release), cards[free:]])

    def draw(self, start, number):
        """``number`` cards from position ``start`` on.

        Returns:
            np.ndarray: int64 cards, each in [0, size).
        """
        turn, position = divmod(start, self.size)
        if position + number <= self.size:
            return self.order(turn)[position : position + number]
        parts = []
        while number > 0:
            turn, position = divmod(start, self.size)
            part = self.order(turn)[position : position + number]
            parts.append(part)
            start, number = start + len(part), number - len(part)
        return np.concatenate(parts)

    def counts(self, position):
        """How often each card came before ``position``.

        Returns:
            np.ndarray: int64 counts of shape (size, ).
        """
        turn, rest = divmod(position, self.size)
        counts = np.full(self.size, turn, np.int64)
        if rest:
            counts[self.order(turn)[:rest]] += 1
        return counts


def _put_off(cards, release):
    """The cards in their order, but none before the position of its release."""
    order: list[int] = []
    waiting: list[tuple[int, int]] = []
    rest = iter(cards.tolist())
    release = release.tolist()
    for position in range(len(cards)):
        if waiting and waiting[0][0] <= position:
            order.append(heapq.heappop(waiting)[1])
            continue
        for card in rest:
            if release[card] <= position:
                order.append(card)
                break
            heapq.heappush(waiting, (release[card], card))
    return np.array(order, np.int64)


class Rotation:
    r"""Hand out ``share`` of n items at a time, each as often as any other.

    The t-th draw is a function of t. After any number of draws

    .. math::
        \max_i c_i - \min_i c_i \le 1

    for the times :math:`c_i` that item i came: no item comes again before all
    have come as often. The items of a draw differ if ``share`` is at most n;
    otherwise each comes :math:`\lfloor share / n \rfloor` times or once more.

    A draw of up to half of the items takes them from a :class:`Deck`; for
    one of more than half the deck deals what is left out.

    Some draws may be longer by one; their number up to now is then given
    beside that of the others.

    Args:
        size (int): Number of items n.
        share (int): Number of items in a draw.
        seed (int): Seed.
        *stream (int): What else the draws depend on.

    >>> rotation = Rotation(5, 3, 0)
    >>> [sorted(rotation.draw(t).tolist()) for t in range(3)]
    [[1, 2, 4], [0, 1, 3], [0, 2, 4]]
    >>> rotation.counts(3).tolist()
    [2, 2, 2, 1, 2]
    """

    def __init__(self, size, share, seed, *stream):
        self.size = size
        self.share = share
        rest = share % size
        self._leaves_out = 2 * rest > size - 1
        window = size - rest if self._leaves_out else min(rest + 1, (size + 1) // 2)
        self._deck = Deck(size, window, seed, *stream)
        self._short, self._long = self._dealt(share), self._dealt(share + 1)

    def _dealt(self, length):
        """Cards of the deck that a draw takes, and how often it has every item."""
        copies, rest = divmod(length, self.size)
        if self._leaves_out and rest:
            return self.size - rest, copies + 1
        return rest, copies

    def _position(self, draws, longer):
        return draws * self._short[0] + longer * self._long[0]

    def draw(self, draws, longer=0, extra=False):
        """The items after so many draws.

        Args:
            draws (int): Number of draws of ``share`` items before.
            longer (int): Number of draws of one more before. Defaults to 0.
            extra (bool): Whether this draw is of one more. Defaults to False.

        Returns:
            np.ndarray: int64 items, each in [0, size).
        """
        dealt, copies = self._long if extra else self._short
        cards = self._deck.draw(self._position(draws, longer), dealt)
        if not self._leaves_out:
            return np.concatenate([_everything(self.size, copies), cards]) if copies else cards
        kept = np.delete(np.arange(self.size), cards)
        return np.concatenate([_everything(self.size, copies - 1), kept]) if copies > 1 else kept

    def counts(self, draws, longer=0):
        """How often each item came in so many draws.

        Returns:
            np.ndarray: int64 counts of shape (size, ).
        """
        copies = draws * self._short[1] + longer * self._long[1]
        dealt = self._deck.counts(self._position(draws, longer))
        return copies - dealt if self._leaves_out else copies + dealt


def _everything(size, copies):
    return np.tile(np.arange(size), copies)
