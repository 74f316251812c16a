"""The verbs: every change to accounts, boxes, memberships and jobs goes through here."""
