"""The commands of a flow file, imported when they are typed."""
