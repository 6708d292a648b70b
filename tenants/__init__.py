"""Ground floor: who lives here, what they may do, what their plan allows, and the walls between them."""
