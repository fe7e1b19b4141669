"""The pages that cards are: plain data of components as one HTML file, which needs nothing from a network."""
