"""Chains that are not made yet: what each link would hold and cost, and which chain is the best."""
