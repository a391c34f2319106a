"""The whole pipeline: read a CSV, clean, split, scale, train a network and report."""

from pathlib import Path

import pandas as pd
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import Adam

# read and clean
data = pd.read_csv(Path(__file__).parent / "data" / "digits.csv")
data = data.dropna()
X = data.drop(columns="digit")
y = data["digit"]

# split, then scale by what the training rows say
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
scaler = StandardScaler()
X_train = scaler.fit_transform(X_train)
X_test = scaler.transform(X_test)

# build
model = Sequential()
model.add(Dense(64, activation="relu", input_shape=(64,)))
model.add(Dense(32, activation="relu"))
model.add(Dense(10, activation="softmax"))
model.compile(
    optimizer=Adam(learning_rate=0.001),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)

# train
model.fit(X_train, y_train, epochs=10, batch_size=32, validation_split=0.1)

# judge
y_pred = model.predict(X_test).argmax(axis=1)
print(classification_report(y_test, y_pred))
