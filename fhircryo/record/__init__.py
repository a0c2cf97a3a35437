"""The patient's record: its parts, how it is assembled, merged patients, selected patients."""
