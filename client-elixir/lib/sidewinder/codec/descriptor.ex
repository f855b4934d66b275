defmodule Sidewinder.Codec.Descriptor do
  @moduledoc """
  Descriptors, read at compile time.

  A descriptor set is what a protobuf compiler knows of its files, as a protobuf message. Reading it needs only the
  shape of the wire, so nothing has to be generated before this can run, and no compiler has to be installed. What is
  not needed to make messages (comments, options, JSON names) is passed over.
  """

  alias Sidewinder.Codec.Wire

  @type kind :: atom | {:enum, String.t()} | {:message, String.t()}
  @type field :: %{
          number: pos_integer,
          name: atom,
          kind: kind,
          label: :one | :optional | :repeated | {:map, kind, kind} | {:oneof, atom}
        }
  @type message :: %{name: String.t(), fields: [field], oneofs: [atom]}
  @type t :: %{
          messages: [message],
          enums: %{String.t() => [{atom, integer}]},
          methods: [
            %{path: String.t(), request: String.t(), response: String.t(), streams: {boolean, boolean}}
          ]
        }

  @kinds %{
    1 => :double,
    2 => :float,
    3 => :int64,
    4 => :uint64,
    5 => :int32,
    6 => :fixed64,
    7 => :fixed32,
    8 => :bool,
    9 => :string,
    12 => :bytes,
    13 => :uint32,
    15 => :sfixed32,
    16 => :sfixed64,
    17 => :sint32,
    18 => :sint64
  }
  @message 11
  @enum 14
  @repeated 3

  @doc "What a descriptor set says. It is part of the library, so a fault in it is a fault of the build and raises."
  @spec read(binary) :: t
  def read(set) do
    files = for {1, file} <- Wire.fields(set), do: file(Wire.fields(file))

    %{
      messages: Enum.flat_map(files, & &1.messages),
      enums: Map.new(Enum.flat_map(files, & &1.enums)),
      methods: Enum.flat_map(files, & &1.methods)
    }
  end

  defp file(fields) do
    package = one(fields, 2, "")
    trees = for {4, message} <- fields, do: message(Wire.fields(message), package)

    %{
      messages: Enum.flat_map(trees, & &1.messages),
      enums: enums(fields, 5, package) ++ Enum.flat_map(trees, & &1.enums),
      methods: for({6, service} <- fields, method <- service(Wire.fields(service), package), do: method)
    }
  end

  defp message(fields, scope) do
    name = scope <> "." <> one(fields, 1, "")
    nested = for {3, inner} <- fields, do: Wire.fields(inner)
    {entries, inner} = Enum.split_with(nested, &map_entry?/1)
    trees = Enum.map(inner, &message(&1, name))
    oneofs = for {8, oneof} <- fields, do: String.to_atom(one(Wire.fields(oneof), 1, ""))
    maps = Map.new(entries, &map_entry(&1, name))
    own = for {2, field} <- fields, do: field(Wire.fields(field), maps, oneofs)
    used = for %{label: {:oneof, oneof}} <- own, uniq: true, do: oneof

    %{
      messages: [
        %{name: name, fields: Enum.sort_by(own, & &1.number), oneofs: used}
        | Enum.flat_map(trees, & &1.messages)
      ],
      enums: enums(fields, 4, name) ++ Enum.flat_map(trees, & &1.enums)
    }
  end

  defp map_entry?(fields) do
    options = one(fields, 7, "")
    options != "" and one(Wire.fields(options), 7, 0) == 1
  end

  defp map_entry(fields, scope) do
    [key, value] = for {2, field} <- fields, do: field(Wire.fields(field), %{}, [])
    {scope <> "." <> one(fields, 1, ""), {:map, key.kind, value.kind}}
  end

  defp field(fields, maps, oneofs) do
    type_name = fields |> one(6, "") |> String.trim_leading(".")
    kind = kind(one(fields, 5, 0), type_name)

    %{
      number: one(fields, 3, 0),
      name: String.to_atom(one(fields, 1, "")),
      kind: kind,
      label: Map.get_lazy(maps, type_name, fn -> label(fields, kind, oneofs) end)
    }
  end

  defp kind(@message, name), do: {:message, name}
  defp kind(@enum, name), do: {:enum, name}
  defp kind(number, _name), do: Map.fetch!(@kinds, number)

  defp label(fields, kind, oneofs) do
    cond do
      one(fields, 4, 0) == @repeated -> :repeated
      # A field that may be absent is a oneof of its own in a descriptor, made by the compiler.
      one(fields, 17, 0) == 1 -> :optional
      one(fields, 9, nil) != nil -> {:oneof, Enum.at(oneofs, one(fields, 9, 0))}
      match?({:message, _}, kind) -> :optional
      true -> :one
    end
  end

  defp enums(fields, number, scope) do
    for {^number, enum} <- fields do
      inner = Wire.fields(enum)
      {scope <> "." <> one(inner, 1, ""), for({2, value} <- inner, do: word(Wire.fields(value)))}
    end
  end

  defp word(fields), do: {String.to_atom(one(fields, 1, "")), Wire.signed(one(fields, 2, 0), 32)}

  defp service(fields, package) do
    name = one(fields, 1, "")

    for {2, method} <- fields do
      inner = Wire.fields(method)

      %{
        path: "/#{package}.#{name}/#{one(inner, 1, "")}",
        request: inner |> one(2, "") |> String.trim_leading("."),
        response: inner |> one(3, "") |> String.trim_leading("."),
        streams: {one(inner, 5, 0) == 1, one(inner, 6, 0) == 1}
      }
    end
  end

  defp one(fields, number, default) do
    Enum.reduce(fields, default, fn
      {^number, value}, _ -> value
      _, found -> found
    end)
  end
end
