"""Notify: one workflow a group of alerts, for as long as one of them fires.

wait for more → flush: tell the receiver what it does not know yet ──→ nothing left: end
                  ▲                                                │
                  └── woken by a transition, a repeat, a silence ──┘
                      that ends; not before the group's interval

The database says what there is to tell (`sinks.notifications`), `planning` decides, `delivery` sends. The
workflow keeps the time and nothing else: it may end, or be lost, and is started again.
"""
