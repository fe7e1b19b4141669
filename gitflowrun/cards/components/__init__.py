"""What cards are made of: components, which tasks make, and which become plain data before a card is rendered."""
