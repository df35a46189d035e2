"""How notices leave."""
