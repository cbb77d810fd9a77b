"""Messages kept before they are acknowledged, and what becomes of them."""
