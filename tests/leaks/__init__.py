"""Two tenants with the same names, labels and times, and ways to see one as the other.

planted     what the two own, and the marks by which the first one's is known anywhere
sessions    a database session that has one role and no other
attacks     what such a session tries, and what it gets to see
routes      how each route of an API is asked for, with one's own things and with the other's
"""
