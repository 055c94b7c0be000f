DROP TABLE zones;
