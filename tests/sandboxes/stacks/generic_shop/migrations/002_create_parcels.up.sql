CREATE TABLE parcels (
  id INT AUTO_INCREMENT PRIMARY KEY,
  recipient VARCHAR(120) NOT NULL,
  zone_id INT NOT NULL,
  weight INT NOT NULL,
  state VARCHAR(20) NOT NULL,
  CONSTRAINT parcels_zone FOREIGN KEY (zone_id) REFERENCES zones (id)
);
